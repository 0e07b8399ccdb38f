"""What lives in a browser without a kernel: JavaScript, its styles, and the widgets made of them."""
