"""Turns a trained run into one verified TFLite file. Trains nothing."""
