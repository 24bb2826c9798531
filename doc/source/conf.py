"""Sphinx configuration: ``tox -e docs`` builds into doc/build/html."""

from importlib import metadata

project = 'cellplug'
author = 'the cellplug authors'
copyright = author
release = metadata.version('cellplug')
version = '.'.join(release.split('.')[:2])

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.viewcode',
    'oslo_config.sphinxext',
    'stevedore.sphinxext',
    'reno.sphinxext',
]
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
nitpicky = False
html_theme = 'alabaster'
html_theme_options = {
    'description': 'Cells for any Python service',
    'fixed_sidebar': True,
}
