#!/usr/bin/perl

# Instances of a registry as peers: a real server of Nacos 3.1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight::NacosTest;

DynamicWeight::NacosTest::run('3.1');
