"""A data set in the formats of other libraries: Hugging Face datasets, WebDataset, CSV; and how to build it again."""
