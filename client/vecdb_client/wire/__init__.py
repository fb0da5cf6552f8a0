"""Generated messages and stubs of ``proto/vecdb.proto``; nothing else imports protobuf types."""
