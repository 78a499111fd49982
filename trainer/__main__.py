"""python -m trainer"""

from facelatch import trainer_main

trainer_main()
