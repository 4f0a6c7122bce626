"""What pytest leaves alone where an extra is not installed."""

import importlib.util

collect_ignore = []
if importlib.util.find_spec("gradio") is None:
    collect_ignore.append("cnnkit/server/studio.py")
