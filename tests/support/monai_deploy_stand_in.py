"""What docs/howto/monai-deploy.md uses of the MONAI Deploy App SDK 4.0, and stricter than it: what is not declared is refused.

Operators call their `setup` from `Operator.__init__`, so what they keep is set before. An operator runs once for each
message, one without inputs as often as its CountCondition says. Paths of the context are absolute, the output's is made.
"""

import argparse
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace


class CountCondition:
    def __init__(self, fragment, count):
        assert isinstance(fragment, Application)
        self.count = count


class OperatorSpec:
    def __init__(self):
        self.inputs, self.outputs = [], []

    def input(self, name):
        self.inputs.append(name)

    def output(self, name):
        self.outputs.append(name)


class Operator:
    def __init__(self, fragment, *conditions, name):
        assert isinstance(fragment, Application)
        assert all(isinstance(condition, CountCondition) for condition in conditions)
        self.name, self.conditions, self.spec = name, conditions, OperatorSpec()
        self.setup(self.spec)


class Ports:
    """The input or the output of one `compute`."""

    def __init__(self, declared, messages):
        self.declared, self.messages = declared, messages

    def emit(self, data, name):
        assert name in self.declared
        self.messages[name] = data

    def receive(self, name):
        assert name in self.declared
        return self.messages.pop(name)


class Application:
    def __init__(self):
        self.argv = list(sys.argv)
        self.flows = []

    @staticmethod
    def init_app_context(argv):
        parser = argparse.ArgumentParser()
        parser.add_argument("--input", "-i", type=Path, required=True)
        parser.add_argument("--output", "-o", type=Path, required=True)
        parser.add_argument("--log-level", "-l", choices=["DEBUG", "INFO", "WARN", "ERROR"])
        words = parser.parse_args(argv[1:])
        assert words.input.exists()
        words.output.mkdir(parents=True, exist_ok=True)
        return SimpleNamespace(
            input_path=words.input.absolute(), output_path=words.output.absolute()
        )

    def add_flow(self, upstream, downstream, ports):
        for out, into in ports:
            assert out in upstream.spec.outputs
            assert into in downstream.spec.inputs
        self.flows.append((upstream, downstream, set(ports)))

    def run(self):
        """A chain, from the operator that has no input."""
        self.compose()
        (first,) = [up for up, _, _ in self.flows if not up.spec.inputs]
        (condition,) = first.conditions  # without, the SDK would run it for ever
        for _ in range(condition.count):
            operator, received = first, {}
            while operator is not None:
                sent = {}
                spec = operator.spec
                operator.compute(Ports(spec.inputs, received), Ports(spec.outputs, sent), None)
                assert not received, "a message that was not taken"
                assert set(sent) == set(spec.outputs)
                operator, received = self.after(operator, sent)

    def after(self, operator, sent):
        following = [(down, ports) for up, down, ports in self.flows if up is operator]
        if not following:
            return None, {}
        ((down, ports),) = following
        return down, {into: sent[out] for out, into in ports}


def install(monkeypatch):
    """As the modules that the application imports."""
    members = {
        "monai.deploy.core": (Application, Operator, OperatorSpec),
        "monai.deploy.conditions": (CountCondition,),
    }
    for name in ("monai", "monai.deploy", *members):
        module = ModuleType(name)
        for member in members.get(name, ()):
            setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, name, module)
