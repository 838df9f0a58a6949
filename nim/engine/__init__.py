"""The engine's options and environment variables, and how to read, check and write its arguments."""

from nim.engine.arguments.parser import ParsedArguments, check_values, parse_arguments
from nim.engine.arguments.render import option_tokens, render_arguments
from nim.engine.arguments.split_line import tokenize
from nim.engine.check_environment_values import blank_variables, check_variable_values
from nim.engine.check_names_against_catalog import check_named_values
from nim.engine.find_installed_engine import InstalledEngine, find_engine
from nim.engine.option_table import Option, OptionTable, load_options
from nim.engine.supported_names_catalog import Architecture, Catalog, load_catalog
from nim.engine.warn_environment_names import service_links, unread_variables, variable_warnings

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
    "find_engine",
    "load_catalog",
    "load_options",
    "option_tokens",
    "parse_arguments",
    "render_arguments",
    "service_links",
    "tokenize",
    "unread_variables",
    "variable_warnings",
]
