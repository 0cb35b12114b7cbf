"""What is spoken: payment.proto, its generated code, and the way between it and the domain.

May import protobuf and the domain. What is refused in a request stands in `requests`; which
status an error has on the wire belongs in `transport.problems`.
"""
