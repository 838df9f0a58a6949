"""The engine's options and environment variables, and how to read, check and write its arguments."""

from nim.engine.argument_parser import ParsedArguments, check_values, parse_arguments
from nim.engine.catalog import Architecture, Catalog, load_catalog
from nim.engine.catalog_checks import check_named_values
from nim.engine.installed import InstalledEngine, find_engine
from nim.engine.rendering import option_tokens, render_arguments
from nim.engine.table import Option, OptionTable, load_options
from nim.engine.tokens import tokenize
from nim.engine.variable_values import blank_variables, check_variable_values
from nim.engine.variables import check_variables, service_links, unread_variables

__all__ = [
    "Architecture",
    "Catalog",
    "InstalledEngine",
    "Option",
    "OptionTable",
    "ParsedArguments",
    "blank_variables",
    "check_named_values",
    "check_values",
    "check_variable_values",
    "check_variables",
    "find_engine",
    "load_catalog",
    "load_options",
    "option_tokens",
    "parse_arguments",
    "render_arguments",
    "service_links",
    "tokenize",
    "unread_variables",
]
