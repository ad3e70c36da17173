"""What makes two contents alike: letters of texts, hashes of pictures and frames, keypoints of pictures."""
