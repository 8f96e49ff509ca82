"""What float16 costs where, and which operations must stay in float32."""
