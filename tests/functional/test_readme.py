"""The README's example runs as printed."""

import pathlib
import re
import subprocess
import sys

import testtools

README = pathlib.Path(__file__).parents[2] / 'README.md'


class TestReadme(testtools.TestCase):
    def test_the_example_prints_what_the_readme_says(self) -> None:
        text = README.read_text()
        [source] = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
        [promised] = re.findall(r'It prints `(.*?)`', text)
        done = subprocess.run(
            [sys.executable, '-c', source],
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )
        self.assertEqual('', done.stderr)
        self.assertEqual(promised, done.stdout.strip())

    def test_every_page_it_names_is_there(self) -> None:
        for name in re.findall(r'\]\(([^)]+)\)', README.read_text()):
            self.assertTrue((README.parent / name).exists(), name)
