module example.com/main-app

go 1.24
