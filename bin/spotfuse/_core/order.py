"""The order in which people read names."""

from natsort import natsort_keygen

natural = natsort_keygen()  # a sort key that puts 10 after 9, and numbers before words
