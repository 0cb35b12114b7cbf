"""Read metrics in the text format in which a daemon exports them."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families


def unlabelled_samples(text: str) -> Mapping[str, float]:
    """Values of the metrics that have no labels, by name. Raises ValueError for other text."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }
