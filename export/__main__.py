"""python -m export"""

from facelatch import export_main

export_main()
