"""The outside: one library each, behind one port each.

May import its own library, the ports, the proto and the domain; never a service or a door.
A rule about payments belongs in `domain`; the order of steps belongs in `service`.
"""
