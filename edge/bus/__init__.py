"""The daemon on the system bus: io.facelatch, and net.reactivated.Fprint if the settings enable it. Makes no decision itself."""
