"""What CloudFormation asks of a template's parameters before it makes anything: their constraints, then `Rules`.

moto does not look at either. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
says what rules mean, and `parameters-section-structure.html` beside it the constraints.
"""

import re

import yaml


class Loader(yaml.SafeLoader):
    """Reads the short forms of functions, `!Ref` and so on, into their long ones."""


def function(loader, name, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


Loader.add_multi_constructor("!", function)


def load(text):
    return yaml.load(text, Loader)


def text(value):
    """A parameter's value as CloudFormation compares it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def with_defaults(template, given):
    values = {name: parameter["Default"] for name, parameter in template["Parameters"].items() if "Default" in parameter}
    values.update(given)
    return {name: text(value) for name, value in values.items()}


def breaches_of_parameter(name, parameter, value):
    found = None
    if "AllowedValues" in parameter and value not in [text(allowed) for allowed in parameter["AllowedValues"]]:
        found = f"{name}: must be one of {parameter['AllowedValues']}"
    elif "AllowedPattern" in parameter and not re.fullmatch(parameter["AllowedPattern"], value):
        found = f"{name}: {parameter['ConstraintDescription']}"
    elif parameter["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            return [f"{name}: must be a number"]
        if not parameter.get("MinValue", number) <= number <= parameter.get("MaxValue", number):
            found = f"{name}: {parameter.get('ConstraintDescription', 'must be in its range')}"
    return [found] if found else []


class Rules:
    """Evaluates rule functions over parameter values. `subnets` tells what EC2 knows: by id, `VpcId` and `AvailabilityZone`."""

    def __init__(self, template, values, subnets):
        self.template, self.values, self.subnets = template, values, subnets

    def attribute(self, name, attribute):
        return self.subnets[self.values[name]][attribute]

    def value(self, node):
        if isinstance(node, list):
            return [self.value(part) for part in node]
        if not isinstance(node, dict):
            return text(node)
        ((name, argument),) = node.items()
        if name == "Ref":
            return self.values[argument]
        if name == "Fn::ValueOf":
            return self.attribute(*argument)
        if name == "Fn::ValueOfAll":
            kind, attribute = argument
            named = [key for key, parameter in self.template["Parameters"].items() if parameter["Type"] == kind]
            return [self.attribute(key, attribute) for key in named]
        left, *right = argument = self.value(argument)
        if name == "Fn::Equals":
            return left == right[0]
        if name == "Fn::Not":
            return not left
        if name == "Fn::And":
            return all(argument)
        if name == "Fn::Or":
            return any(argument)
        if name == "Fn::Contains":
            return right[0] in left
        if name == "Fn::EachMemberEquals":
            return all(member == right[0] for member in left)
        raise ValueError(f"no rule function: {name}")

    def breaches(self):
        for rule in self.template["Rules"].values():
            if "RuleCondition" in rule and not self.value(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self.value(assertion["Assert"]):
                    yield assertion["AssertDescription"]


def breaches(template, given, subnets):
    """Everything that CloudFormation would refuse `given` for, in words."""
    parameters = template["Parameters"]
    found = [f"{name}: no such parameter" for name in given if name not in parameters]
    values = with_defaults(template, given)
    for name, parameter in parameters.items():
        if name not in values:
            found.append(f"{name}: must have a value")
        else:
            found += breaches_of_parameter(name, parameter, values[name])
    # As CloudFormation does: rules are looked at when every value is good.
    return found or list(Rules(template, values, subnets).breaches())
