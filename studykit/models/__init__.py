"""Networks: plain functions that return a `keras.Model` with named layers; nothing here depends on a backend."""
