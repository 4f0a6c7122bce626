"""Options of the commands that use a trained classifier, and are not made of settings yet."""

from cnnkit.cli._options import setting_option
from cnnkit.engine.command import option_type
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.tasks.classify.settings import Model, ReadSettings

Classifier = option_type("model", Model, DEFAULT_CLASSIFIER)
Classes = setting_option(ReadSettings, "classes")
