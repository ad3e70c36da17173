"""Models of pictures: any backbone, words in pictures, prompted vision-language models."""
