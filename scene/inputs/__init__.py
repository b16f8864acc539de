"""What is made of an input before it can be read: frames of a video, files of an archive; and where that is kept."""
