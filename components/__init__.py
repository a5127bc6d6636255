"""What one pipeline step does: the only home of TFX artifacts, Beam and TFMA."""

from models.memory import collect_seldom

collect_seldom()  # here, as Beam's worker processes begin with this package
