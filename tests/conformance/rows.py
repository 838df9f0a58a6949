"""The expectations of a NIM-like container, and why some are not checked."""

ROWS = {
    "C1": "liveness answers from the first moment, without a model",
    "C2": "readiness answers 200 only when inference works",
    "C3": "NIM_HEALTH_PORT answers the health routes, too",
    "C4": "the operator's probes, each within 1 s, however busy it is",
    "C5": "the Helm chart's probes and its half hour for a start",
    "C6": "the management routes, also in openapi.json",
    "C7": "metadata names the model where /v1/models does not",
    "C8": "the shape of /v1/models",
    "C9": "sh, cat, sleep, and the manifest at its place",
    "C10": "a manifest that the operator can read",
    "C11": "the commands of cache jobs, and honest exit codes",
    "C12": "the other commands, with -h",
    "C13": "one profile, chosen or given; the listing in groups",
    "C14": "command line over passthrough over the rest; the last flag wins",
    "C15": "passthrough is taken apart as by a shell",
    "C16": "the environment that the operator sets",
    "C17": "several nodes",
    "C18": "any user, no capabilities, no escalation",
    "C19": "no label of the other protocol",
    "C20": "SIGTERM, and 30 s",
    "C21": "where a model may come from",
    "C22": "a cache mount that does not answer is told",
    "C23": "models of a terabyte",
    "C24": "variables of a profile need not be set by hand",
    "C25": "clients with dummy keys and large bodies",
}

NOT_ASKED = {
    "C5": "the same probes as C4; --ready-seconds grants a start the chart's half hour",
    "C17": "one container cannot show it",
    "C18": "every image is started so: what it then cannot do fails in other rows",
    "C22": "a mount that does not answer cannot be lent to a container without privileges",
    "C23": "too large to be asked for each time; --ready-seconds and --cache let a person do it",
    "C24": "it needs a GPU and a model of that precision",
}
