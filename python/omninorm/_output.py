"""What transform returns: an array, or the data frame that set_output asks for."""

import sys

KINDS = ("default", "pandas", "polars")


def wanted(estimator) -> str:
    """What set_output said, else scikit-learn's global setting where it is loaded."""
    own = getattr(estimator, "_sklearn_output_config", {}).get("transform")
    get_config = getattr(sys.modules.get("sklearn"), "get_config", None)
    if own is None and get_config:
        own = get_config().get("transform_output")
    return own or "default"


def check(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"output config must be in {sorted(KINDS)}, got {kind}")


def wrap(estimator, x, y):
    """y, the result of transforming x, as `wanted` says. A data frame keeps pandas' index."""
    kind = wanted(estimator)
    check(kind)
    if kind == "default":
        return y
    names = estimator.get_feature_names_out()
    if kind == "pandas":
        import pandas

        index = x.index if isinstance(x, pandas.DataFrame) else None
        return pandas.DataFrame(y, index=index, columns=names, copy=False)
    import polars

    return polars.DataFrame(y, schema=list(names), orient="row")
