"""Code that `make proto` generates from proto/payment.proto: messages, stub and server base."""
