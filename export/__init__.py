"""A trained run in, one verified TFLite file out."""
