"""The daemon on the system bus: io.facelatch, and net.reactivated.Fprint where the settings want it. Judges nothing itself."""
