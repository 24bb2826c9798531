"""The laptop deployment: an example service on cellplug, in one command."""
