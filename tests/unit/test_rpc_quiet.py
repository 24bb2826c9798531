"""What importing oslo.messaging must not do to a process."""

from __future__ import annotations

import subprocess
import sys

import testtools

CODE = """
import importlib, sys, threading
def first_message(): importlib.import_module('cellplug.rpc.messaging')
thread = threading.Thread(target=first_message, daemon=True)
thread.start()
thread.join(60)
print('joined' if not thread.is_alive() else 'never joined')
"""


class ImportTest(testtools.TestCase):
    def test_a_thread_that_sends_the_first_message_can_be_joined(self) -> None:
        """A worker of a pool must not keep its process from ending."""
        done = subprocess.run(
            [sys.executable, '-c', CODE],
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(('joined\n', ''), (done.stdout, done.stderr))
