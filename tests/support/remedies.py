"""What the sources can print as a way out of a problem, found in their syntax trees."""

import ast
import re

from tests.support.places import ROOT

PACKAGE = ROOT / "gsigpu"
# An option in a sentence: not the option alone, and not what a sentence about it begins with.
_OPTION = re.compile(r"[\w)] --[a-z][a-z-]+")
_ANYTHING = ".*"


def printed_remedies(paths):
    """Place in the source -> pattern of a whole line with that remedy, for every one that a file can print.

    A remedy is the keyword of that name of a call, what a function with that word in its name returns, and any
    other text that names an option. Where a text is put together under conditions, each of its forms counts.
    """
    remedies = {}
    for path in paths:
        tree = ast.parse(path.read_text("utf-8"))
        place = path.relative_to(PACKAGE).as_posix()
        assigned = _assigned(tree)
        seen = set()
        for node in ast.walk(tree):
            for value, before in _remedies_at(node, assigned):
                seen.update(map(id, ast.walk(value)))
                for number, pattern in enumerate(_patterns(value, assigned)):
                    if _has_words(pattern):
                        line = f"{before}{pattern}$" if before else pattern
                        remedies[f"{place}:{value.lineno}#{number}"] = line
        for value in _options_in_texts(tree, seen):
            for number, pattern in enumerate(_patterns(value, assigned)):
                remedies[f"{place}:{value.lineno}#{number}"] = pattern
    return remedies


def errors_without_remedy(paths):
    """Places that raise an error of gsigpu made there, without a keyword `remedy`."""
    from gsigpu import errors

    kinds = {name for name in vars(errors) if isinstance(getattr(errors, name), type)}
    places = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_error = isinstance(node, ast.Call) and getattr(node.func, "id", "") in kinds
            if is_error and not any(word.arg == "remedy" for word in node.keywords):
                places.append(f"{path.relative_to(PACKAGE).as_posix()}: {ast.unparse(node)}")
    return places


def _assigned(tree):
    """name -> expressions that the file assigns to it."""
    values = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
    return values


def _remedies_at(node, assigned):
    """Expressions of remedies, each with the pattern of what stands before it in the line."""
    match node:
        case ast.Call():
            for word in node.keywords:
                if word.arg == "remedy":
                    whats = list(_patterns(node.args[0], assigned)) if node.args else [_ANYTHING]
                    yield word.value, f"(?:{'|'.join(whats)}); "
        case ast.FunctionDef() if "remedy" in node.name:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield inner.value, ""


def _options_in_texts(tree, seen):
    """Texts that name an option, but for docstrings, and for what is a remedy already."""
    skipped = set(seen)
    for node in ast.walk(tree):
        is_prose = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_help = isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "typer.Option", "list_option", "re.compile",
        )  # fmt: skip
        if is_prose or is_help:
            skipped.update(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            skipped.update(map(id, ast.walk(node)))
        text = node.value if isinstance(node, ast.Constant) else ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(p.value for p in node.values if isinstance(p, ast.Constant))
        if isinstance(text, str) and _OPTION.search(text):
            yield node


def _patterns(node, assigned):
    """Every form that a text may have, as a pattern."""
    match node:
        case ast.Constant(value=str()):
            yield re.escape(" ".join(node.value.split(" ")))
        case ast.JoinedStr():
            yield "".join(
                re.escape(part.value) if isinstance(part, ast.Constant) else _ANYTHING
                for part in node.values
            )
        case ast.IfExp():
            yield from _patterns(node.body, assigned)
            yield from _patterns(node.orelse, assigned)
        case ast.BinOp(op=ast.Add()):
            for left in _patterns(node.left, assigned):
                for right in _patterns(node.right, assigned):
                    yield left + right
        case ast.Name() if node.id in assigned:
            for value in assigned[node.id]:
                yield from _patterns(value, {})
        case _:
            yield _ANYTHING


def _has_words(pattern):
    return bool(re.search(r"[a-z]{2}", pattern.replace(_ANYTHING, "")))
