"""The store on a disk that loses power between any two writes, and on one that is full at any."""
