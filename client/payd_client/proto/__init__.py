"""Code generated from proto/payment.proto by `make proto`: messages, and the service's two sides."""
