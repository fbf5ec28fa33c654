"""What the files under conf/ may say: types, ranges and presets."""

from mnist_flow.config.options import Option as Option
from mnist_flow.config.options import find_option as find_option
from mnist_flow.config.section import Activation as Activation
from mnist_flow.config.section import Count as Count
from mnist_flow.config.section import ExperimentName as ExperimentName
from mnist_flow.config.section import Fraction as Fraction
from mnist_flow.config.section import Name as Name
from mnist_flow.config.section import NonNegative as NonNegative
from mnist_flow.config.section import OptionSection as OptionSection
from mnist_flow.config.section import Positive as Positive
from mnist_flow.config.section import ProperFraction as ProperFraction
from mnist_flow.config.section import Section as Section
from mnist_flow.config.section import Seed as Seed
from mnist_flow.config.section import flatten as flatten
from mnist_flow.config.validation import validate_config as validate_config
