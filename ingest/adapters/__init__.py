"""What connects the ports of the central service to the outside: the MQTT consumer."""
