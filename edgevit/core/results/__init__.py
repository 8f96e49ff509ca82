"""What commands give back: the report and the smaller answers, as plain values."""
