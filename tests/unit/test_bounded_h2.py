"""The state of a connection does not grow with the calls that it has carried."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from payd.transport.grpc.http2 import BoundedH2

REQUEST = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "payd")]
ANSWER = [(":status", "200")]


def test_the_ended_calls_of_a_connection_are_forgotten() -> None:
    client = H2Connection(H2Configuration(client_side=True))
    server = BoundedH2(H2Configuration(client_side=False))
    client.initiate_connection()
    server.initiate_connection()

    for _ in range(3072):
        stream = client.get_next_available_stream_id()
        client.send_headers(stream, REQUEST, end_stream=True)
        events = server.receive_data(client.data_to_send())
        assert any(isinstance(event, StreamEnded) for event in events)
        server.send_headers(stream, ANSWER, end_stream=True)
        client.receive_data(server.data_to_send())

    assert server.open_inbound_streams == 0
    # What h2 keeps of them; without our limit it is three times as much here.
    assert len(server._closed_streams) <= 1024
