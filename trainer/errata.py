"""Known label errors of Labeled Faces in the Wild, which are left out of all figures.

Only errors of the set itself that others have published: its authors' errata, and lists of photographs that appear under two names. Never
pictures that our own models found hard: removing one's own errors from a test set makes it meaningless. docs/training.md says how each
was checked.
"""

from __future__ import annotations

# The face in the middle is another person's: Rubens Barrichello, Abdullah Gül.
OF_SOMEBODY_ELSE = frozenset({"Michael_Schumacher_0008", "Recep_Tayyip_Erdogan_0004"})

# One photograph under two names; the set does not tell which of them is wrong.
UNDER_TWO_NAMES = frozenset(
    {
        *("Bart_Hendricks_0001", "Ricky_Ray_0001"),
        *("Carlos_Beltran_0001", "Raul_Ibanez_0001"),
        *("Emmy_Rossum_0001", "Eva_Amurri_0001"),
        *("Gabrielle_Rose_0001", "Martha_Bowen_0002"),
    }
)

# One person under two spellings: compared as a stranger to himself, or trained on under the other name.
OF_TWO_NAMES = frozenset(
    {
        *("Choi_Sung-hong", "Sung_Hong_Choi"),
        *("Chyung_Dai-chul", "Dai_Chul_Chyung"),
        *("Felipe_De_Borbon", "Prince_Felipe"),
        *("Hasan_Wirayuda", "Hassan_Wirajuda"),
        *("John_Barnett", "John_Burnett"),
        *("Joseph_Blatter", "Sepp_Blatter"),
        *("Nan_Wang", "Wang_Nan"),
        *("Noer_Moeis", "Noer_Muis"),
        *("Wang_Yingfan", "Yingfan_Wang"),
    }
)


def rightly_labelled(person: str, picture: str) -> bool:
    """False if the label `person` of `picture`, a file name without folder and suffix, is known to be wrong."""
    return person not in OF_TWO_NAMES and picture not in OF_SOMEBODY_ELSE and picture not in UNDER_TWO_NAMES
