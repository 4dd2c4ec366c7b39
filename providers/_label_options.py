"""Options that every provider of labelled things has, and what of them decides, compiled. No I/O."""

from __future__ import annotations

from typing import Final

import msgspec

from edgerouter.config.dynamic import Model
from edgerouter.contracts.snapshot import ProviderContext
from edgerouter.errors import ConfigurationError
from edgerouter.providers._constraints import compile_constraints
from edgerouter.providers._decision import Settings
from edgerouter.providers._default_rule import Template, TemplateError

DEFAULT_RULE: Final = "Host(`{{ normalize .Name }}`)"


class LabelOptions(Model, frozen=True):
    """What is taken from labels, and how."""

    # follow events; false reads once
    watch: bool = True
    # route what has no enable label
    exposed_by_default: bool = True
    # the rule of routers that have none: a template over .Name, .ContainerName and .Labels
    default_rule: str = DEFAULT_RULE
    # an expression over labels that says what is taken
    constraints: str = ""
    # the network to reach servers over, unless a label names one
    network: str = ""
    # reach servers by their published port and its host's address
    use_bind_port_ip: bool = msgspec.field(default=False, name="useBindPortIP")
    # keep routers of what is starting or unhealthy live, with a service that has no server
    allow_empty_services: bool = False
    # labels may use services and middlewares of @internal, as the dashboard
    allow_internal: bool = False
    # the folder that labels may name files of; empty: none
    files_root: str = ""
    # a file that keeps what was last known (0600, without secrets), for starts while the source is away; empty: none
    state_file: str = ""


def settings_of(options: LabelOptions, context: ProviderContext) -> Settings:
    """Compile what options hold as text; raises ConfigurationError that names the option."""
    try:
        template = Template(options.default_rule) if options.default_rule else None
    except TemplateError as error:
        raise ConfigurationError(f"providers.{context.name}.defaultRule: {error}") from error
    try:
        constraint = compile_constraints(options.constraints)
    except ConfigurationError as error:
        raise ConfigurationError(f"providers.{context.name}.{error.message}") from error
    return Settings(
        provider=context.name,
        kinds=context.kinds,
        prefixes=context.prefixes,
        exposed_by_default=options.exposed_by_default,
        constraint=constraint,
        constraints=options.constraints,
        template=template,
        network=options.network,
        use_bind_port_ip=options.use_bind_port_ip,
        allow_empty_services=options.allow_empty_services,
        allow_internal=options.allow_internal,
        files_root=options.files_root,
    )
