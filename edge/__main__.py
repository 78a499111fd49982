"""python -m edge"""

from facelatch import edge_main

edge_main()
