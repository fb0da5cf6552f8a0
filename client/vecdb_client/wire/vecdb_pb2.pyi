from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dtype(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[Dtype]
    FLOAT32: _ClassVar[Dtype]
    FLOAT16: _ClassVar[Dtype]
    UINT8: _ClassVar[Dtype]

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    COSINE: _ClassVar[Metric]
    DOT: _ClassVar[Metric]
    L2: _ClassVar[Metric]

class FieldType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIELD_TYPE_UNSPECIFIED: _ClassVar[FieldType]
    KEYWORD: _ClassVar[FieldType]
    BOOL: _ClassVar[FieldType]
    INT: _ClassVar[FieldType]
    FLOAT: _ClassVar[FieldType]
    DATETIME: _ClassVar[FieldType]
    UUID: _ClassVar[FieldType]
    GEO: _ClassVar[FieldType]
    TEXT: _ClassVar[FieldType]

class Operator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATOR_UNSPECIFIED: _ClassVar[Operator]
    EQ: _ClassVar[Operator]
    NE: _ClassVar[Operator]
    LT: _ClassVar[Operator]
    LTE: _ClassVar[Operator]
    GT: _ClassVar[Operator]
    GTE: _ClassVar[Operator]
    IN: _ClassVar[Operator]
    BETWEEN: _ClassVar[Operator]
    PREFIX: _ClassVar[Operator]
    EXISTS: _ClassVar[Operator]
    NULL: _ClassVar[Operator]
    ALL: _ClassVar[Operator]
    WITHIN: _ClassVar[Operator]
    BOX: _ClassVar[Operator]
    MATCH: _ClassVar[Operator]
    MATCH_ANY: _ClassVar[Operator]
    PHRASE: _ClassVar[Operator]

class IdKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ID_KIND_UNSPECIFIED: _ClassVar[IdKind]
    INTS: _ClassVar[IdKind]
    STRINGS: _ClassVar[IdKind]

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    AUTO: _ClassVar[Mode]
    EXACT: _ClassVar[Mode]
    SCAN: _ClassVar[Mode]
    GRAPH: _ClassVar[Mode]
    TREE: _ClassVar[Mode]

class Estimator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ESTIMATOR_UNSPECIFIED: _ClassVar[Estimator]
    RABITQ: _ClassVar[Estimator]
    HAMMING: _ClassVar[Estimator]
DTYPE_UNSPECIFIED: Dtype
FLOAT32: Dtype
FLOAT16: Dtype
UINT8: Dtype
METRIC_UNSPECIFIED: Metric
COSINE: Metric
DOT: Metric
L2: Metric
FIELD_TYPE_UNSPECIFIED: FieldType
KEYWORD: FieldType
BOOL: FieldType
INT: FieldType
FLOAT: FieldType
DATETIME: FieldType
UUID: FieldType
GEO: FieldType
TEXT: FieldType
OPERATOR_UNSPECIFIED: Operator
EQ: Operator
NE: Operator
LT: Operator
LTE: Operator
GT: Operator
GTE: Operator
IN: Operator
BETWEEN: Operator
PREFIX: Operator
EXISTS: Operator
NULL: Operator
ALL: Operator
WITHIN: Operator
BOX: Operator
MATCH: Operator
MATCH_ANY: Operator
PHRASE: Operator
ID_KIND_UNSPECIFIED: IdKind
INTS: IdKind
STRINGS: IdKind
MODE_UNSPECIFIED: Mode
AUTO: Mode
EXACT: Mode
SCAN: Mode
GRAPH: Mode
TREE: Mode
ESTIMATOR_UNSPECIFIED: Estimator
RABITQ: Estimator
HAMMING: Estimator

class Vectors(_message.Message):
    __slots__ = ("data", "dim", "dtype", "floats")
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    dim: int
    dtype: Dtype
    floats: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, data: _Optional[bytes] = ..., dim: _Optional[int] = ..., dtype: _Optional[_Union[Dtype, str]] = ..., floats: _Optional[_Iterable[float]] = ...) -> None: ...

class Strings(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class Ids(_message.Message):
    __slots__ = ("ints", "strings")
    INTS_FIELD_NUMBER: _ClassVar[int]
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    ints: bytes
    strings: Strings
    def __init__(self, ints: _Optional[bytes] = ..., strings: _Optional[_Union[Strings, _Mapping]] = ...) -> None: ...

class Sharing(_message.Message):
    __slots__ = ("lists", "places")
    LISTS_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    lists: _containers.RepeatedCompositeFieldContainer[Strings]
    places: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, lists: _Optional[_Iterable[_Union[Strings, _Mapping]]] = ..., places: _Optional[_Iterable[int]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("text", "integer", "number", "flag")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    text: str
    integer: int
    number: float
    flag: bool
    def __init__(self, text: _Optional[str] = ..., integer: _Optional[int] = ..., number: _Optional[float] = ..., flag: bool = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("field", "operator", "values")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    field: str
    operator: Operator
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, field: _Optional[str] = ..., operator: _Optional[_Union[Operator, str]] = ..., values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class Filters(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("compare", "all_of", "any_of", "negate")
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    ALL_OF_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    NEGATE_FIELD_NUMBER: _ClassVar[int]
    compare: Comparison
    all_of: Filters
    any_of: Filters
    negate: Filter
    def __init__(self, compare: _Optional[_Union[Comparison, _Mapping]] = ..., all_of: _Optional[_Union[Filters, _Mapping]] = ..., any_of: _Optional[_Union[Filters, _Mapping]] = ..., negate: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("if_absent", "if_present", "if_sequence", "filter")
    IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    IF_PRESENT_FIELD_NUMBER: _ClassVar[int]
    IF_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    if_absent: bool
    if_present: bool
    if_sequence: int
    filter: Filter
    def __init__(self, if_absent: bool = ..., if_present: bool = ..., if_sequence: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class ErrorDetail(_message.Message):
    __slots__ = ("reason", "field", "limit", "actual", "hint", "retry_after_ms", "maybe_applied", "error_id", "kind", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    MAYBE_APPLIED_FIELD_NUMBER: _ClassVar[int]
    ERROR_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    field: str
    limit: int
    actual: int
    hint: str
    retry_after_ms: int
    maybe_applied: bool
    error_id: str
    kind: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., field: _Optional[str] = ..., limit: _Optional[int] = ..., actual: _Optional[int] = ..., hint: _Optional[str] = ..., retry_after_ms: _Optional[int] = ..., maybe_applied: bool = ..., error_id: _Optional[str] = ..., kind: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ("client_version",)
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    client_version: str
    def __init__(self, client_version: _Optional[str] = ...) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("server_version", "api", "features", "limits", "database_id", "dev")
    class LimitsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    API_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    DEV_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    api: str
    features: _containers.RepeatedScalarFieldContainer[str]
    limits: _containers.ScalarMap[str, int]
    database_id: str
    dev: bool
    def __init__(self, server_version: _Optional[str] = ..., api: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., limits: _Optional[_Mapping[str, int]] = ..., database_id: _Optional[str] = ..., dev: bool = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatsResponse(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...

class CollectionSchema(_message.Message):
    __slots__ = ("dim", "metric", "dtype", "fields", "code_bits", "page_bytes", "memory_budget")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FieldType
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FieldType, str]] = ...) -> None: ...
    DIM_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    CODE_BITS_FIELD_NUMBER: _ClassVar[int]
    PAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BUDGET_FIELD_NUMBER: _ClassVar[int]
    dim: int
    metric: Metric
    dtype: Dtype
    fields: _containers.ScalarMap[str, FieldType]
    code_bits: int
    page_bytes: int
    memory_budget: int
    def __init__(self, dim: _Optional[int] = ..., metric: _Optional[_Union[Metric, str]] = ..., dtype: _Optional[_Union[Dtype, str]] = ..., fields: _Optional[_Mapping[str, FieldType]] = ..., code_bits: _Optional[int] = ..., page_bytes: _Optional[int] = ..., memory_budget: _Optional[int] = ...) -> None: ...

class CollectionInfo(_message.Message):
    __slots__ = ("name", "schema", "id_kind", "count", "sequence", "aliases", "segments", "tail", "sealing", "level", "level_reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ID_KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    SEALING_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    LEVEL_REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    schema: CollectionSchema
    id_kind: IdKind
    count: int
    sequence: int
    aliases: _containers.RepeatedScalarFieldContainer[str]
    segments: int
    tail: int
    sealing: str
    level: str
    level_reason: str
    def __init__(self, name: _Optional[str] = ..., schema: _Optional[_Union[CollectionSchema, _Mapping]] = ..., id_kind: _Optional[_Union[IdKind, str]] = ..., count: _Optional[int] = ..., sequence: _Optional[int] = ..., aliases: _Optional[_Iterable[str]] = ..., segments: _Optional[int] = ..., tail: _Optional[int] = ..., sealing: _Optional[str] = ..., level: _Optional[str] = ..., level_reason: _Optional[str] = ...) -> None: ...

class CreateCollectionRequest(_message.Message):
    __slots__ = ("name", "schema")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    name: str
    schema: CollectionSchema
    def __init__(self, name: _Optional[str] = ..., schema: _Optional[_Union[CollectionSchema, _Mapping]] = ...) -> None: ...

class DescribeCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections",)
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[CollectionInfo]
    def __init__(self, collections: _Optional[_Iterable[_Union[CollectionInfo, _Mapping]]] = ...) -> None: ...

class DeleteCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteCollectionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AliasRequest(_message.Message):
    __slots__ = ("alias", "collection")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    alias: str
    collection: str
    def __init__(self, alias: _Optional[str] = ..., collection: _Optional[str] = ...) -> None: ...

class AliasResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SealRequest(_message.Message):
    __slots__ = ("name", "no_wait")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NO_WAIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    no_wait: bool
    def __init__(self, name: _Optional[str] = ..., no_wait: bool = ...) -> None: ...

class CompactRequest(_message.Message):
    __slots__ = ("name", "no_wait")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NO_WAIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    no_wait: bool
    def __init__(self, name: _Optional[str] = ..., no_wait: bool = ...) -> None: ...

class SealResponse(_message.Message):
    __slots__ = ("records", "segments")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    records: int
    segments: int
    def __init__(self, records: _Optional[int] = ..., segments: _Optional[int] = ...) -> None: ...

class SetMemoryBudgetRequest(_message.Message):
    __slots__ = ("name", "memory_budget")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BUDGET_FIELD_NUMBER: _ClassVar[int]
    name: str
    memory_budget: int
    def __init__(self, name: _Optional[str] = ..., memory_budget: _Optional[int] = ...) -> None: ...

class AddFieldRequest(_message.Message):
    __slots__ = ("name", "field", "type", "wait")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    field: str
    type: FieldType
    wait: bool
    def __init__(self, name: _Optional[str] = ..., field: _Optional[str] = ..., type: _Optional[_Union[FieldType, str]] = ..., wait: bool = ...) -> None: ...

class DropFieldRequest(_message.Message):
    __slots__ = ("name", "field")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    name: str
    field: str
    def __init__(self, name: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class CollectionStatsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class KeyRights(_message.Message):
    __slots__ = ("name", "role", "collections", "tenant", "all_tenants", "expires_us", "rate", "concurrency")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ALL_TENANTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: str
    collections: _containers.RepeatedScalarFieldContainer[str]
    tenant: str
    all_tenants: bool
    expires_us: int
    rate: float
    concurrency: int
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., collections: _Optional[_Iterable[str]] = ..., tenant: _Optional[str] = ..., all_tenants: bool = ..., expires_us: _Optional[int] = ..., rate: _Optional[float] = ..., concurrency: _Optional[int] = ...) -> None: ...

class KeyInfo(_message.Message):
    __slots__ = ("id", "rights", "created_us", "revoked_us", "overlap_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_US_FIELD_NUMBER: _ClassVar[int]
    REVOKED_US_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_US_FIELD_NUMBER: _ClassVar[int]
    id: str
    rights: KeyRights
    created_us: int
    revoked_us: int
    overlap_us: int
    def __init__(self, id: _Optional[str] = ..., rights: _Optional[_Union[KeyRights, _Mapping]] = ..., created_us: _Optional[int] = ..., revoked_us: _Optional[int] = ..., overlap_us: _Optional[int] = ...) -> None: ...

class CreateKeyRequest(_message.Message):
    __slots__ = ("rights",)
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    rights: KeyRights
    def __init__(self, rights: _Optional[_Union[KeyRights, _Mapping]] = ...) -> None: ...

class CreateKeyResponse(_message.Message):
    __slots__ = ("key", "secret")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    key: KeyInfo
    secret: str
    def __init__(self, key: _Optional[_Union[KeyInfo, _Mapping]] = ..., secret: _Optional[str] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[KeyInfo]
    def __init__(self, keys: _Optional[_Iterable[_Union[KeyInfo, _Mapping]]] = ...) -> None: ...

class RevokeKeyRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RevokeKeyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RotateKeyRequest(_message.Message):
    __slots__ = ("id", "overlap_seconds")
    ID_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    overlap_seconds: float
    def __init__(self, id: _Optional[str] = ..., overlap_seconds: _Optional[float] = ...) -> None: ...

class RotateKeyResponse(_message.Message):
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: str
    def __init__(self, secret: _Optional[str] = ...) -> None: ...

class GrantRequest(_message.Message):
    __slots__ = ("collection", "ids", "tenants")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    ids: Ids
    tenants: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collection: _Optional[str] = ..., ids: _Optional[_Union[Ids, _Mapping]] = ..., tenants: _Optional[_Iterable[str]] = ...) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("collection", "ids", "tenants")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    ids: Ids
    tenants: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collection: _Optional[str] = ..., ids: _Optional[_Union[Ids, _Mapping]] = ..., tenants: _Optional[_Iterable[str]] = ...) -> None: ...

class TenantInfo(_message.Message):
    __slots__ = ("name", "visible", "records", "bytes", "created_us", "max_records", "max_bytes", "rate")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATED_US_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    visible: int
    records: int
    bytes: int
    created_us: int
    max_records: int
    max_bytes: int
    rate: float
    def __init__(self, name: _Optional[str] = ..., visible: _Optional[int] = ..., records: _Optional[int] = ..., bytes: _Optional[int] = ..., created_us: _Optional[int] = ..., max_records: _Optional[int] = ..., max_bytes: _Optional[int] = ..., rate: _Optional[float] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ("collection", "after", "limit")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    after: str
    limit: int
    def __init__(self, collection: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListTenantsResponse(_message.Message):
    __slots__ = ("tenants",)
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[TenantInfo]
    def __init__(self, tenants: _Optional[_Iterable[_Union[TenantInfo, _Mapping]]] = ...) -> None: ...

class DescribeTenantRequest(_message.Message):
    __slots__ = ("collection", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class WhoSeesRequest(_message.Message):
    __slots__ = ("collection", "id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    id: Ids
    def __init__(self, collection: _Optional[str] = ..., id: _Optional[_Union[Ids, _Mapping]] = ...) -> None: ...

class RecordAccess(_message.Message):
    __slots__ = ("owner", "tenants")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    owner: str
    tenants: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, owner: _Optional[str] = ..., tenants: _Optional[_Iterable[str]] = ...) -> None: ...

class CopyTenantRequest(_message.Message):
    __slots__ = ("collection", "source", "target")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    collection: str
    source: str
    target: str
    def __init__(self, collection: _Optional[str] = ..., source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class DeleteTenantRequest(_message.Message):
    __slots__ = ("collection", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class SetQuotaRequest(_message.Message):
    __slots__ = ("collection", "tenant", "max_records", "max_bytes", "rate")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    collection: str
    tenant: str
    max_records: int
    max_bytes: int
    rate: float
    def __init__(self, collection: _Optional[str] = ..., tenant: _Optional[str] = ..., max_records: _Optional[int] = ..., max_bytes: _Optional[int] = ..., rate: _Optional[float] = ...) -> None: ...

class UpsertRequest(_message.Message):
    __slots__ = ("collection", "ids", "vectors", "payloads", "condition", "idempotency_key", "no_wait", "tenant", "sharing")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    NO_WAIT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SHARING_FIELD_NUMBER: _ClassVar[int]
    collection: str
    ids: Ids
    vectors: Vectors
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    condition: Condition
    idempotency_key: bytes
    no_wait: bool
    tenant: str
    sharing: Sharing
    def __init__(self, collection: _Optional[str] = ..., ids: _Optional[_Union[Ids, _Mapping]] = ..., vectors: _Optional[_Union[Vectors, _Mapping]] = ..., payloads: _Optional[_Iterable[bytes]] = ..., condition: _Optional[_Union[Condition, _Mapping]] = ..., idempotency_key: _Optional[bytes] = ..., no_wait: bool = ..., tenant: _Optional[str] = ..., sharing: _Optional[_Union[Sharing, _Mapping]] = ...) -> None: ...

class WriteResponse(_message.Message):
    __slots__ = ("count", "sequence", "replayed")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    count: int
    sequence: int
    replayed: bool
    def __init__(self, count: _Optional[int] = ..., sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("batch", "chunk")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    batch: UpsertRequest
    chunk: int
    def __init__(self, batch: _Optional[_Union[UpsertRequest, _Mapping]] = ..., chunk: _Optional[int] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("chunk", "result", "error", "status")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    chunk: int
    result: WriteResponse
    error: ErrorDetail
    status: int
    def __init__(self, chunk: _Optional[int] = ..., result: _Optional[_Union[WriteResponse, _Mapping]] = ..., error: _Optional[_Union[ErrorDetail, _Mapping]] = ..., status: _Optional[int] = ...) -> None: ...

class SetPayloadRequest(_message.Message):
    __slots__ = ("collection", "ids", "payload", "replace", "idempotency_key", "no_wait", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    NO_WAIT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    ids: Ids
    payload: bytes
    replace: bool
    idempotency_key: bytes
    no_wait: bool
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., ids: _Optional[_Union[Ids, _Mapping]] = ..., payload: _Optional[bytes] = ..., replace: bool = ..., idempotency_key: _Optional[bytes] = ..., no_wait: bool = ..., tenant: _Optional[str] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("collection", "ids", "filter", "idempotency_key", "no_wait", "dry_run", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    NO_WAIT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    ids: Ids
    filter: Filter
    idempotency_key: bytes
    no_wait: bool
    dry_run: bool
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., ids: _Optional[_Union[Ids, _Mapping]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., idempotency_key: _Optional[bytes] = ..., no_wait: bool = ..., dry_run: bool = ..., tenant: _Optional[str] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("collection", "queries", "k", "filter", "mode", "min_score", "without_payload", "with_vector", "effort", "effort_bound", "estimator", "with_relevance", "with_surprise", "tenant", "offset", "diversity")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    EFFORT_FIELD_NUMBER: _ClassVar[int]
    EFFORT_BOUND_FIELD_NUMBER: _ClassVar[int]
    ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    WITH_RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    WITH_SURPRISE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    collection: str
    queries: Vectors
    k: int
    filter: Filter
    mode: Mode
    min_score: float
    without_payload: bool
    with_vector: bool
    effort: float
    effort_bound: bool
    estimator: Estimator
    with_relevance: bool
    with_surprise: bool
    tenant: str
    offset: int
    diversity: float
    def __init__(self, collection: _Optional[str] = ..., queries: _Optional[_Union[Vectors, _Mapping]] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., mode: _Optional[_Union[Mode, str]] = ..., min_score: _Optional[float] = ..., without_payload: bool = ..., with_vector: bool = ..., effort: _Optional[float] = ..., effort_bound: bool = ..., estimator: _Optional[_Union[Estimator, str]] = ..., with_relevance: bool = ..., with_surprise: bool = ..., tenant: _Optional[str] = ..., offset: _Optional[int] = ..., diversity: _Optional[float] = ...) -> None: ...

class Matches(_message.Message):
    __slots__ = ("counts", "ids", "scores", "distances", "payloads", "vectors", "relevance", "surprise_bits")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    DISTANCES_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    SURPRISE_BITS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedScalarFieldContainer[int]
    ids: Ids
    scores: bytes
    distances: bytes
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    vectors: Vectors
    relevance: bytes
    surprise_bits: bytes
    def __init__(self, counts: _Optional[_Iterable[int]] = ..., ids: _Optional[_Union[Ids, _Mapping]] = ..., scores: _Optional[bytes] = ..., distances: _Optional[bytes] = ..., payloads: _Optional[_Iterable[bytes]] = ..., vectors: _Optional[_Union[Vectors, _Mapping]] = ..., relevance: _Optional[bytes] = ..., surprise_bits: _Optional[bytes] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: Matches
    def __init__(self, matches: _Optional[_Union[Matches, _Mapping]] = ...) -> None: ...

class SearchGroupsRequest(_message.Message):
    __slots__ = ("collection", "query", "group_by", "groups", "group_size", "filter", "mode", "min_score", "effort", "effort_bound", "estimator", "without_payload", "with_vector", "with_relevance", "with_surprise", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    GROUP_SIZE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    EFFORT_FIELD_NUMBER: _ClassVar[int]
    EFFORT_BOUND_FIELD_NUMBER: _ClassVar[int]
    ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    WITH_RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    WITH_SURPRISE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    query: Vectors
    group_by: str
    groups: int
    group_size: int
    filter: Filter
    mode: Mode
    min_score: float
    effort: float
    effort_bound: bool
    estimator: Estimator
    without_payload: bool
    with_vector: bool
    with_relevance: bool
    with_surprise: bool
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., query: _Optional[_Union[Vectors, _Mapping]] = ..., group_by: _Optional[str] = ..., groups: _Optional[int] = ..., group_size: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., mode: _Optional[_Union[Mode, str]] = ..., min_score: _Optional[float] = ..., effort: _Optional[float] = ..., effort_bound: bool = ..., estimator: _Optional[_Union[Estimator, str]] = ..., without_payload: bool = ..., with_vector: bool = ..., with_relevance: bool = ..., with_surprise: bool = ..., tenant: _Optional[str] = ...) -> None: ...

class SearchGroupsResponse(_message.Message):
    __slots__ = ("values", "matches")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    matches: Matches
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., matches: _Optional[_Union[Matches, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("collection", "query", "k", "filter", "mode", "min_score", "effort", "effort_bound", "estimator", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    EFFORT_FIELD_NUMBER: _ClassVar[int]
    EFFORT_BOUND_FIELD_NUMBER: _ClassVar[int]
    ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    query: Vectors
    k: int
    filter: Filter
    mode: Mode
    min_score: float
    effort: float
    effort_bound: bool
    estimator: Estimator
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., query: _Optional[_Union[Vectors, _Mapping]] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., mode: _Optional[_Union[Mode, str]] = ..., min_score: _Optional[float] = ..., effort: _Optional[float] = ..., effort_bound: bool = ..., estimator: _Optional[_Union[Estimator, str]] = ..., tenant: _Optional[str] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("matches", "mode", "matching", "segments", "tail", "level", "why", "degraded", "io_engine", "seconds", "pages_read", "bytes_read", "read_calls", "io_rounds", "cache_hits", "nodes_expanded", "blocks_scanned", "codes_scanned", "codes_refined", "vectors_scored", "nodes_visited", "costs")
    class CostsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MATCHING_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    IO_ENGINE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    PAGES_READ_FIELD_NUMBER: _ClassVar[int]
    BYTES_READ_FIELD_NUMBER: _ClassVar[int]
    READ_CALLS_FIELD_NUMBER: _ClassVar[int]
    IO_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    NODES_EXPANDED_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_SCANNED_FIELD_NUMBER: _ClassVar[int]
    CODES_SCANNED_FIELD_NUMBER: _ClassVar[int]
    CODES_REFINED_FIELD_NUMBER: _ClassVar[int]
    VECTORS_SCORED_FIELD_NUMBER: _ClassVar[int]
    NODES_VISITED_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    matches: Matches
    mode: Mode
    matching: int
    segments: int
    tail: int
    level: str
    why: str
    degraded: bool
    io_engine: str
    seconds: float
    pages_read: int
    bytes_read: int
    read_calls: int
    io_rounds: int
    cache_hits: int
    nodes_expanded: int
    blocks_scanned: int
    codes_scanned: int
    codes_refined: int
    vectors_scored: int
    nodes_visited: int
    costs: _containers.ScalarMap[str, float]
    def __init__(self, matches: _Optional[_Union[Matches, _Mapping]] = ..., mode: _Optional[_Union[Mode, str]] = ..., matching: _Optional[int] = ..., segments: _Optional[int] = ..., tail: _Optional[int] = ..., level: _Optional[str] = ..., why: _Optional[str] = ..., degraded: bool = ..., io_engine: _Optional[str] = ..., seconds: _Optional[float] = ..., pages_read: _Optional[int] = ..., bytes_read: _Optional[int] = ..., read_calls: _Optional[int] = ..., io_rounds: _Optional[int] = ..., cache_hits: _Optional[int] = ..., nodes_expanded: _Optional[int] = ..., blocks_scanned: _Optional[int] = ..., codes_scanned: _Optional[int] = ..., codes_refined: _Optional[int] = ..., vectors_scored: _Optional[int] = ..., nodes_visited: _Optional[int] = ..., costs: _Optional[_Mapping[str, float]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("collection", "ids", "without_payload", "with_vector", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    ids: Ids
    without_payload: bool
    with_vector: bool
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., ids: _Optional[_Union[Ids, _Mapping]] = ..., without_payload: bool = ..., with_vector: bool = ..., tenant: _Optional[str] = ...) -> None: ...

class RecordColumns(_message.Message):
    __slots__ = ("ids", "sequences", "payloads", "vectors")
    IDS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    ids: Ids
    sequences: bytes
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    vectors: Vectors
    def __init__(self, ids: _Optional[_Union[Ids, _Mapping]] = ..., sequences: _Optional[bytes] = ..., payloads: _Optional[_Iterable[bytes]] = ..., vectors: _Optional[_Union[Vectors, _Mapping]] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("records", "missing")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    records: RecordColumns
    missing: Ids
    def __init__(self, records: _Optional[_Union[RecordColumns, _Mapping]] = ..., missing: _Optional[_Union[Ids, _Mapping]] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("collection", "filter", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    filter: Filter
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., tenant: _Optional[str] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class FacetsRequest(_message.Message):
    __slots__ = ("collection", "field", "filter", "limit", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    field: str
    filter: Filter
    limit: int
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., field: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., limit: _Optional[int] = ..., tenant: _Optional[str] = ...) -> None: ...

class FacetsResponse(_message.Message):
    __slots__ = ("values", "counts", "others")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    counts: _containers.RepeatedScalarFieldContainer[int]
    others: int
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., counts: _Optional[_Iterable[int]] = ..., others: _Optional[int] = ...) -> None: ...

class OrderBy(_message.Message):
    __slots__ = ("field", "descending")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    field: str
    descending: bool
    def __init__(self, field: _Optional[str] = ..., descending: bool = ...) -> None: ...

class ScrollRequest(_message.Message):
    __slots__ = ("collection", "filter", "after", "limit", "without_payload", "with_vector", "order_by", "tenant")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    filter: Filter
    after: Ids
    limit: int
    without_payload: bool
    with_vector: bool
    order_by: OrderBy
    tenant: str
    def __init__(self, collection: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., after: _Optional[_Union[Ids, _Mapping]] = ..., limit: _Optional[int] = ..., without_payload: bool = ..., with_vector: bool = ..., order_by: _Optional[_Union[OrderBy, _Mapping]] = ..., tenant: _Optional[str] = ...) -> None: ...

class ScrollResponse(_message.Message):
    __slots__ = ("records", "next")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    records: RecordColumns
    next: Ids
    def __init__(self, records: _Optional[_Union[RecordColumns, _Mapping]] = ..., next: _Optional[_Union[Ids, _Mapping]] = ...) -> None: ...
