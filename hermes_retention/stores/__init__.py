"""Where hosts keep sessions: one package per layout, all behind the ``Store`` protocol of ``base``."""
