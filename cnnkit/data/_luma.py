"""How light a colour is."""

import numpy as np

# Luminance of linear-light primaries (ITU-R BT.709), applied to sRGB values as they are.
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
