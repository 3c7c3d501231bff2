"""gRPC faces: they translate, call one operation of `core`, and translate back; the interceptor does the rest."""
