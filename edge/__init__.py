"""The device: camera, detection, inference, gallery, policy, actions and the journal. Never imports TensorFlow."""
