"""What has to be mended about files in an object store. Standard library alone: used while planning."""

import sys


def see_new_folders() -> None:
    """Have Snakemake's storage plugin for S3 ask each time whether a folder is there.

    It asks once, as a rule before the job that makes the folder has run on another machine, and keeps the answer
    (0.3.6): outputs that are folders would be missing for ever. Does nothing where the plugin is not in use.
    """
    if plugin := sys.modules.get("snakemake_storage_plugin_s3"):
        plugin.StorageObject.is_dir = lambda stored: any(stored.get_subkeys())
