"""The gateway's wires: serial line, Modbus TCP, SQLite, MQTT, clocks. Only app.py and cli.py know them."""
