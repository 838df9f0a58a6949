"""Why the service or its engine ended: classes of failure, the report, the streams that were cut."""
