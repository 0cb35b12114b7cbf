"""What an operator writes becomes one frozen tree, or every mistake with its key and place."""
