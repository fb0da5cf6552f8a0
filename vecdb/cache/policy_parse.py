"""From a document (a dict, TOML or JSON) to a ``Policy``: all of it is checked, or nothing is."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any

from .. import limits
from ..errors import InvalidArgument
from . import fields
from .defaults import default_document
from .policy import GREY, GUARDS, OFF, VETO, Category, ErrorBudget, Load, Policy

PolicySource = Mapping[str, Any] | str

_TOP = (
    *("version", "encoder", "capacity", "scope", "defaults", "category", "error_budget"),
    *("hnsw_above", "lease", "grace", "break_even_window", "price_per_token", "load"),
)
_CATEGORY = tuple(one.name for one in fields_of(Category) if one.name not in ("name",))
_DEFAULT_GUARDS = {
    "numbers": VETO,
    "negation": VETO,
    "order": VETO,
    "entities": OFF,
    "overlap": GREY,
}
_BUDGET = (1e-4, 0.5)


def parse_policy(source: PolicySource | None, version: int) -> Policy:
    """The policy of a document, which gets ``version``; None: the default one.

    Raises ``InvalidArgument`` with the place of the first fault in ``field``.
    """
    document = default_document() if source is None else _read(source)
    fields.known("policy", document, _TOP)
    capacity = fields.mapping("policy.capacity", document.get("capacity", {}))
    fields.known("policy.capacity", capacity, ("entries", "bytes", "tenant_quota"))
    defaults = fields.mapping("policy.defaults", document.get("defaults", {}))
    given = fields.mapping("policy.category", document.get("category", {}))
    if not given:
        raise fields.bad("policy.category", "an object of at least one category", "{}")
    if len(given) > limits.CACHE_CATEGORIES:
        raise fields.bad(
            "policy.category", f"at most {limits.CACHE_CATEGORIES} categories", len(given)
        )
    categories = {name: _category(name, values, defaults) for name, values in given.items()}
    total = sum(category.quota for category in categories.values())
    if total > 1.0 + 1e-9:
        raise fields.bad("policy.category", "categories whose quotas sum to at most 1", total)
    encoder = document.get("encoder", "")
    if not isinstance(encoder, str) or len(encoder) > 256:
        raise fields.bad("policy.encoder", "the name of a model", encoder)
    budget = document.get("error_budget")
    return Policy(
        version=version,
        encoder=encoder,
        entries=fields.count("policy.capacity.entries", capacity.get("entries", 1_000_000)),
        bytes=fields.size("policy.capacity.bytes", capacity.get("bytes", "4GiB")),
        tenant_quota=_positive("policy.capacity.tenant_quota", capacity.get("tenant_quota", 1.0)),
        scope=_scope(document.get("scope", ["tenant", "model"])),
        error_budget=None if budget is None else _budget("policy.error_budget", budget),
        hnsw_above=fields.count("policy.hnsw_above", document.get("hnsw_above", 32_768), 64),
        lease=fields.duration("policy.lease", document.get("lease", 30.0)),
        grace=fields.duration("policy.grace", document.get("grace", 60.0), zero=True),
        break_even_window=fields.duration(
            "policy.break_even_window", document.get("break_even_window", "10m")
        ),
        price_per_token=fields.amount(
            "policy.price_per_token", document.get("price_per_token", 0.0)
        ),
        load=_load(document.get("load", {})),
        categories=categories,
        document={key: value for key, value in document.items() if key != "version"},
    )


def policy_json(policy: Policy) -> bytes:
    """The stored form; ``parse_policy`` reads it."""
    return json.dumps(policy.document, separators=(",", ":"), sort_keys=True).encode()


def asked_version(source: PolicySource) -> int | None:
    """The version that a document says it replaces; None: whichever there is."""
    version = _read(source).get("version")
    if version is None:
        return None
    return fields.count("policy.version", version)


def _read(source: PolicySource) -> Mapping[str, Any]:
    if isinstance(source, str):
        is_json = source.lstrip().startswith("{")
        try:
            source = json.loads(source) if is_json else tomllib.loads(source)
        except ValueError as error:
            raise InvalidArgument(
                f"the policy is no {'JSON' if is_json else 'TOML'}: {error}",
                field="policy",
                reason="BAD_POLICY",
                hint="Give a dict, a TOML document, or a JSON object",
            ) from None
    document = fields.mapping("policy", source)
    try:
        copied: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"the policy holds what JSON cannot: {error}", field="policy", reason="BAD_POLICY"
        ) from None
    return copied


def _category(name: str, values: object, defaults: Mapping[str, Any]) -> Category:
    place = f"policy.category.{name[:60]}"
    if limits.NAME.fullmatch(name) is None:
        raise fields.bad(place, "named by letters, digits, '.', '_' or '-'", name)
    own = fields.mapping(place, values)
    fields.known(place, own, _CATEGORY)
    fields.known("policy.defaults", defaults, _CATEGORY)
    given = dict(defaults) | dict(own)

    def value(field: str, check: Any, default: Any, **options: Any) -> Any:
        where = place if field in own else "policy.defaults"
        return check(f"{where}.{field}", given[field], **options) if field in given else default

    threshold = value("threshold", fields.threshold, 0.90)
    ttl = value("ttl", fields.duration, 86_400.0)
    budget = given.get("error_budget")
    made = Category(
        name=name,
        allow_caching=value("allow_caching", fields.flag, True),
        threshold=threshold,
        threshold_min=value("threshold_min", fields.threshold, threshold),
        threshold_grey=value("threshold_grey", fields.threshold, None),
        ttl=ttl,
        ttl_max=value("ttl_max", fields.duration, ttl),
        jitter=value("jitter", fields.share, 0.10, most=0.5),
        quota=value("quota", fields.share, 0.0),
        priority=value("priority", fields.share, 0.5, most=1_000.0),
        adaptive=value("adaptive", fields.flag, False),
        relax_threshold=value("relax_threshold", fields.share, 0.0, most=0.2),
        relax_ttl=value("relax_ttl", fields.share, 0.0, most=10.0),
        error_budget=None if budget is None else _budget(f"{place}.error_budget", budget),
        audit_floor=value("audit_floor", fields.share, 0.05),
        swr=value("swr", fields.duration, 0.0, zero=True),
        negative_ttl=value("negative_ttl", fields.duration, 30.0),
        compliance=value("compliance", fields.texts, ()),
        guards=_guards(f"{place}.guards", given.get("guards")),
        guards_required=value("guards_required", fields.flag, False),
        fold_case=value("fold_case", fields.flag, False),
        store_prompt=value("store_prompt", fields.flag, True),
        doorkeeper=value("doorkeeper", fields.flag, False),
        auto_off=value("auto_off", fields.flag, True),
        wrong_cost=value("wrong_cost", fields.amount, 0.0),
    )
    _check_together(place, made)
    return made


def _check_together(place: str, made: Category) -> None:
    if made.threshold < made.threshold_min:
        raise fields.bad(
            f"{place}.threshold", f"at least threshold_min {made.threshold_min:g}", made.threshold
        )
    if made.threshold_grey is not None and made.threshold_grey > made.threshold:
        raise fields.bad(
            f"{place}.threshold_grey", f"at most threshold {made.threshold:g}", made.threshold_grey
        )
    if made.ttl > made.ttl_max:
        raise fields.bad(f"{place}.ttl", f"at most ttl_max, {made.ttl_max:g} s", made.ttl)
    if made.negative_ttl > 300.0:
        raise fields.bad(f"{place}.negative_ttl", "at most 300 seconds", made.negative_ttl)
    if (made.relax_threshold or made.relax_ttl) and not made.adaptive:
        raise fields.bad(
            f"{place}.adaptive", "true where relax_threshold or relax_ttl is given", False
        )
    if made.compliance and made.allow_caching:
        raise fields.bad(
            f"{place}.allow_caching",
            "false in a category with compliance: nothing of it may reach the disk",
            True,
        )
    if made.compliance and made.adaptive:
        raise fields.bad(f"{place}.adaptive", "false in a category with compliance", True)


def _guards(place: str, value: object) -> dict[str, str]:
    """["numbers", "entities?"] or {"numbers": "veto"}; guards that are not named are off."""
    if value is None:
        return dict(_DEFAULT_GUARDS)
    if isinstance(value, list | tuple):
        named = {
            str(one).removesuffix("?"): GREY if str(one).endswith("?") else VETO for one in value
        }
    else:
        named = {key: str(one) for key, one in fields.mapping(place, value).items()}
    fields.known(place, named, GUARDS)
    for name, effect in named.items():
        if effect not in (VETO, GREY, OFF):
            raise fields.bad(f"{place}.{name}", "veto, grey or off", effect)
    return dict.fromkeys(GUARDS, OFF) | named


def _budget(place: str, value: object) -> ErrorBudget:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = {"value": value}
    given = fields.mapping(place, value)
    fields.known(place, given, ("value", "per", "most"))
    if "value" not in given:
        raise fields.bad(f"{place}.value", "a share of wrong answers such as 0.01", None)
    least, most = _BUDGET
    wanted = fields.number(f"{place}.value", given["value"])
    if not least <= wanted <= most:
        raise fields.bad(f"{place}.value", f"a share from {least:g} to {most:g}", wanted)
    per = given.get("per", "query")
    if per not in ("query", "hit"):
        raise fields.bad(f"{place}.per", '"query" or "hit"', per)
    under_load = None
    if given.get("most") is not None:
        under_load = fields.number(f"{place}.most", given["most"])
        if not wanted <= under_load <= most:
            raise fields.bad(f"{place}.most", f"from value {wanted:g} to {most:g}", under_load)
    return ErrorBudget(value=wanted, per=per, most=under_load)


def _scope(value: object) -> tuple[str, ...]:
    keys = fields.texts("policy.scope", value)
    if not 1 <= len(keys) <= limits.CACHE_SCOPE_KEYS:
        raise fields.bad("policy.scope", f"1 to {limits.CACHE_SCOPE_KEYS} keys", list(keys))
    for key in keys:
        if limits.NAME.fullmatch(key) is None:
            raise fields.bad("policy.scope", "keys of letters, digits, '.', '_' or '-'", key)
    return tuple(sorted(keys))


def _load(value: object) -> Load:
    given = fields.mapping("policy.load", value)
    fields.known("policy.load", given, ("start", "full", "smooth", "fall"))
    made = Load(
        start=fields.amount("policy.load.start", given.get("start", 0.7)),
        full=fields.amount("policy.load.full", given.get("full", 1.0)),
        smooth=fields.duration("policy.load.smooth", given.get("smooth", 30.0)),
        fall=fields.duration("policy.load.fall", given.get("fall", 60.0)),
    )
    if made.start >= made.full:
        raise fields.bad("policy.load.start", f"below full, {made.full:g}", made.start)
    return made


def _positive(place: str, value: object) -> float:
    given = fields.share(place, value)
    if given == 0.0:
        raise fields.bad(place, "above 0 and at most 1", value)
    return given
