module edgerouter.test/server

go 1.19
